# What lme4 makes of formulas: writes formulas.json beside this script.  Rscript tests/reference/make_formulas.R
suppressMessages({library(lme4); library(jsonlite); library(splines)})
invisible(Sys.setlocale("LC_COLLATE", "C"))
set.seed(1)
d <- expand.grid(a = letters[1:3], b = LETTERS[1:3], c = 1:3, r = 1:3)
d$a <- as.character(d$a); d$b <- as.character(d$b)
d$x <- round(rnorm(81), 3); d$z <- round(runif(81), 3) + 0.1; d$y <- round(rexp(81), 3)
d$`my x` <- d$x * 2; d$`my f` <- d$a; d$l <- d$z > 0.5; d$num <- d$c * 0.1; d$x.1 <- d$z; d$big <- d$c * 1e5
d$x[5] <- NA; d$b[7] <- NA; d$z[9] <- NA; d$l[11] <- NA
d <- d[-c(1, 2), ]

formulas <- c(
  "y ~ `my x` + `my f` + l + (`my x` | a/b/c)",
  "y ~ 0 + l + poly(r, 2) + I(z^2) + I(z > 0.4) + (1 | c)",
  "y ~ poly(r,1) + factor(c)*a + (0 + a || b) + (l | c)",
  "y ~ x + a:x + b:a + (x + a || b/c)",
  "y ~ log(x**2+1, base=10) + I((x+1)*2.50) + (1|a) + (x-1|a)",
  "y ~ x + (1|a) + (1|b) + (1|c)",
  "y ~ bs(r, df=4) + ns(z, 3) + (1|a:b:c)",
  "y ~ bs(z, knots = c(0.4, 0.7), degree = 2, intercept = TRUE) + ns(x, df=2, intercept=TRUE) + (1|a)",
  "y ~ scale(x) + x:a:b + (1|a)",
  "y ~ scale(z, center=FALSE) + scale(x, scale=F) + (1|a)",
  "y ~ b %in% a + (1|a)", "y ~ a %in% b + b + (1|c)", "y ~ a/b + (1|c)", "y ~ (a+b)/x + (1|c)", "y ~ a/(b+x) + (1|c)",
  "y ~ (a+b+z)^2 - z + offset(z) + (1|c)", "y ~ x^2 + (a+b+x)^3 + (1|c)",
  "y ~ a:x - 1 + (1|c)", "y ~ 0 + x + a:b + (1|c)", "y ~ 0 + a*b + (1|c)", "y ~ a*b - a + (1|c)",
  "y ~ a*b - 1 - a + (1|c)", "y ~ -1 + b:a + b + (1|c)", "y ~ a*b + 0 + (1|c)", "y ~ 1 + a - 1 + (1|c)",
  "y ~ 0 + a + 1 + (1|c)", "y ~ 0 + (1|a)", "y ~ 0 + x:a + b + (1|c)", "y ~ 0 + l:a + l + (1|c)",
  "y ~ C(factor(a), contr.sum)*x + relevel(factor(a), ref=\"b\") + (1|c)",
  "y ~ C(factor(a), contr.helmert) + C(factor(c), contr.poly)*z + C(factor(b), contr.poly):z + (1|c)",
  "y ~ C(factor(a), contr.SAS) + C(factor(b), \"contr.treatment\") + (1|c)", "y ~ C(factor(a), contr.treatment(3, base=3)) + (1|c)",
  "y ~ C(factor(a), contr.treatment, base=2) + (1|c)",
  "y ~ factor(num) + factor(big) + x.1 + (factor(num)|a)", "y ~ factor(c, levels = c(3, 1, 2)) + (1|b)",
  "log(y+1) ~ sqrt(z) + exp(x) + abs(x) + log10(z) + log1p(z) + (1|a:b)",
  "y ~ x*l + l*a + (0+l|a)", "y ~ x + l:x + (x*l|c)", "y ~ a:b:l + x + (1|c)", "y ~ l:a + (1|c)",
  "y ~ a*b*x + (x:a|c)", "y ~ b:x + a + a:b + (1|c)", "y ~ a + (1|c) + z:a + x:z", "y ~ x:z:a + x:a + (1|c)",
  "y ~ (x+z)*(a+b) + (1|c)", "y ~ a*x*l - x:l + (1|c)", "y ~ 0 + a:x:z + a:b:x + (1|c)", "y ~ a:x + a:b + (1|c)",
  "y ~ I(x > 0 & z < 0.5) + (a == \"b\") + I(a %in% c(\"a\", \"c\")) + (1|c)",
  "y ~ I(x/z) + I(-x) + I(x %% 2) + I(!l) + I(-x^2) + I(2^-1*x) + (1|a)",
  "y ~ ifelse(x>0,1,0) + I(x - mean(r)) + (a|b)", "y ~ 1 + (1|b/a) + (z||b:a)", "y ~ 1 + (z-1|b/a) + (1|c)",
  "y ~ poly(r, 2, raw=TRUE)*a + poly(r, 2):a + (1|b)", "y ~ (1|c) + x + ((1|a) + (x|b)) - 1",
  "y ~ offset(log(z)) + offset(2*x) + a + (1|c)", "y ~ as.factor(c) + as.numeric(c) + round(z, 1) + (1|a)"
)
relaxed <- setNames(rep(list("ignore"), 7), paste0("check.", c(
  "nobs.vs.nRE", "nobs.vs.nlev", "nobs.vs.rankZ", "rankX", "nlev.gtr.1", "scaleX", "nlev.gtreq.5")))
made <- lapply(formulas, function(f) {
  m <- suppressWarnings(lFormula(as.formula(f), d, control = do.call(lmerControl, relaxed)))
  re <- m$reTrms; factors <- re$flist[attr(re$flist, "assign")]
  probe <- sin(seq_len(nrow(m$X)))  # X'probe tells columns apart, and rows
  term <- function(t) {
    Zt <- re$Ztlist[[t]]
    list(group = names(re$cnms)[t], columns = I(re$cnms[[t]]), levels = I(levels(factors[[t]])),
         sum = sum(as.vector(Zt %*% probe) * cos(seq_len(nrow(Zt)))))
  }
  offset <- model.offset(m$fr)
  list(formula = f, x_names = I(as.character(colnames(m$X))), x_sums = I(as.vector(crossprod(unname(m$X), probe))),
       y_sum = sum(model.response(m$fr) * probe), offset_sum = if (is.null(offset)) NULL else sum(offset * probe),
       n = nrow(m$X), terms = lapply(seq_along(re$cnms), term))
})
versions <- list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))
writeLines(toJSON(list(made_with = versions, data = as.list(d), formulas = made), digits = NA, auto_unbox = TRUE,
                  null = "null", na = "null"), file.path(here, "formulas.json"))
