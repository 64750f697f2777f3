# What R makes of codings of factors: writes codings.json beside this script.  Rscript tests/reference/make_codings.R
suppressMessages({library(jsonlite); library(MASS); library(lmerTest)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
n <- 24
d <- data.frame(
  y = seq_len(n) %% 7, x = (seq_len(n) * 37 %% 11) / 4,
  f = factor(rep(c("lo", "hi", "mid", "top"), 6)),
  o = factor(rep(c("s", "m", "l", "xl", "xxl"), length.out = n), levels = c("s", "m", "l", "xl", "xxl"), ordered = TRUE),
  h = rep(c(2, 4), each = 12)
)
d$Xm <- cbind(d$x, d$x^2)
probe <- sin(seq_len(n))

formulas <- c(
  "o", "o * f", "0 + o", "0 + f:o", "x:o", "ordered(f)", "ordered(f, levels = c('lo', 'mid', 'hi', 'top'))",
  "factor(o, ordered = FALSE)", "factor(o)", "as.factor(o)", "as.ordered(h)",
  "C(o)", "C(o, poly, 2)", "C(o, contr.treatment)", "C(f, sum)", "C(f, contr.sum) * x", "C(f, helmert)",
  "C(f, treatment)", "C(f, contr.sdif)", "C(f, SAS)", "C(f, c(-1, 0, 1, 0))", "C(f, contr.treatment, base = 3)",
  "C(f, contr.treatment, 2)", "C(f, contr.poly(4, scores = c(1, 2, 4, 8)))",
  "C(factor(h), contr.treatment, base = 2)", "relevel(f, 'mid')",
  "factor(f, levels = c('mid', 'lo', 'top', 'hi'))",
  "factor(f, levels = c('mid', 'lo', 'top', 'hi'), labels = c('M', 'L', 'T', 'H'))",
  "factor(f, levels = c('mid', 'lo', 'top', 'hi'), labels = c('M', 'L', 'M', 'H'))",
  "as.numeric(f)", "as.numeric(o)", "as.numeric(factor(h))", "as.integer(x)", "as.integer(f)", "as.double(h)",
  "as.numeric(x > 1)", "as.logical(h - 2)", "as.character(o)",
  "dummy(f)", "dummy(f, 'lo')", "dummy(f, c('top', 'lo')) * x", "0 + dummy(f)", "Xm", "Xm:f", "0 + Xm"
)
three <- matrix(c(1, -1, 0, 0, 1, 1, -2, 0, 1, 1, 1, -3), 4)
two <- matrix(c(1, -1, 0, 0, 1, 1, -1, -1), 4, dimnames = list(NULL, c("a", "b")))
codings <- list(
  list("f", "contr.sum"), list("f", "contr.helmert"), list("f", "contr.poly"), list("f", "contr.treatment"),
  list("f", "contr.SAS"), list("f", "contr.sdif"), list("o", "contr.treatment"), list("o", "contr.sum"),
  list("f", three), list("f", two)
)

made <- function(formula, ...) {
  X <- model.matrix(formula, d, ...)
  list(names = as.list(colnames(X)), sums = as.numeric(crossprod(X, probe)))
}
written <- lapply(formulas, function(s) c(list(formula = s), made(as.formula(paste("~", s)))))
given <- lapply(codings, function(pair) {
  coding <- pair[[2]]
  own <- if (is.character(coding)) coding else list(weights = coding, names = as.list(colnames(coding)))
  c(list(factor = pair[[1]], coding = own), made(~ f * x + o, contrasts.arg = setNames(list(coding), pair[[1]])))
})
poly <- lapply(c(2, 3, 7, 20), function(k) list(k = k, values = unname(contr.poly(k))))
d$g <- rep(1:6, each = 4)
d$v <- (seq_len(n) * 37) %% 23 / 3
tests <- function(formula, coding = NULL) {
  e <- d
  if (!is.null(coding)) contrasts(e$o, ncol(coding)) <- coding
  fit <- lmer(as.formula(formula), e)
  list(formula = formula, coding = coding,
       F = lapply(1:3, function(type) anova(fit, type = type)[["F value"]]),
       df = lapply(1:3, function(type) anova(fit, type = type)[["NumDF"]]))
}
partial <- list(
  tests("v ~ C(o, poly, 1) * f + x + (1 | g)"), tests("v ~ C(o, poly, 2) * C(f, sum) + (1 | g)"),
  tests("v ~ o * f + (1 | g)", cbind(c(-1, -1, 0, 1, 1))), tests("v ~ o * f + (1 | g)", cbind(c(3, -1, 1, 1, 0))),
  tests("v ~ f * x + o + (1 | g)", cbind(c(1, 0, 0, 0, -1), c(0, 1, 0, -1, 0)))
)
columns <- list(y = d$y, x = d$x, f = as.character(d$f), o = as.character(d$o), h = d$h, g = d$g, v = d$v)
made_with <- list(R = as.character(getRversion()), MASS = as.character(packageVersion("MASS")),
                  lme4 = as.character(packageVersion("lme4")), lmerTest = as.character(packageVersion("lmerTest")))
write(toJSON(list(made_with = made_with, data = columns, formulas = written, contrasts = given, poly = poly,
                  partial = partial),
             digits = NA, auto_unbox = TRUE), file.path(here, "codings.json"))
