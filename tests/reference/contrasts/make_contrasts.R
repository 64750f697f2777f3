# Tests of terms, contrasts and marginal means: lmerTest, pbkrtest and emmeans on an unbalanced two-way layout.
#
#   Rscript make_contrasts.R          makes contrasts.csv and contrasts.json again, in the working directory
#
# Made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2, emmeans 1.8.4.

suppressPackageStartupMessages({
  library(lmerTest)
  library(emmeans)
  library(jsonlite)
  library(splines)
})
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 1e5)

set.seed(11)
n <- 240
d <- data.frame(g = factor(sprintf("g%02d", sample(1:15, n, TRUE))),
                a = factor(sample(c("p", "q", "r"), n, TRUE, prob = c(.5, .3, .2))),
                b = factor(sample(c("u", "v"), n, TRUE, prob = c(.7, .3))),
                x = round(rnorm(n, 3), 3), z = round(runif(n, 1, 5), 3), w = round(runif(n, .5, 2), 3))
d$y <- round(1 + as.integer(d$a) + .5 * d$x + .8 * (d$a == "q") * (d$b == "v") + rnorm(15)[as.integer(d$g)] +
             rnorm(15, sd = .4)[as.integer(d$g)] * d$x + rnorm(n), 3)
write.csv(d, "contrasts.csv", row.names = FALSE)
d$row <- seq_len(n)
subsets <- list(all = d, cell = d[!(d$a == "r" & d$b == "v"), ],    # "cell": one combination does not occur
                gaps = within(d, z[seq(1, n, 9)] <- NA))             # "gaps": every ninth row misses z

used <- NULL
fit <- function(formula, subset = "all", weights = FALSE) {
  used <<- subsets[[subset]]
  coded <- if (grepl("contr.sum", formula)) list(a = "contr.sum", b = "contr.sum")
  written <- gsub("C\\((.), contr.sum\\)", "\\1", formula)
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
  args <- list(as.formula(written), data = quote(used), control = control, contrasts = coded)
  if (weights) args$weights <- used$w
  list(model = do.call(lmer, args), formula = formula, subset = subset, weights = weights)
}
described <- function(f) list(formula = f$formula, subset = f$subset, weights = f$weights,
                              theta = I(unname(getME(f$model, "theta"))))

# ---- F tests of terms ----

table_of <- function(f, ddf, type) {
  a <- anova(f$model, type = type, ddf = ddf)
  list(ddf = tolower(ddf), type = type, terms = I(rownames(a)), sum_sq = I(a[["Sum Sq"]]), num_df = I(a[["NumDF"]]),
       den_df = I(a[["DenDF"]]), F = I(a[["F value"]]), p = I(a[["Pr(>F)"]]))
}
anovas <- lapply(list(
  fit("y ~ a*b + x + (x | g)"), fit("y ~ a*b*x + (1 | g)"), fit("y ~ log(z) + a + a:log(z) + (1 | g)"),
  fit("y ~ C(a, contr.sum)*C(b, contr.sum) + x + (x | g)"), fit("y ~ 0 + a + x + a:x + (1 | g)"),
  fit("y ~ a*b + x + (1 | g)", "cell"), fit("y ~ a*b + x + (1 | g)", weights = TRUE)
), function(f) {
  methods <- c("Satterthwaite", if (!f$weights) "Kenward-Roger")  # pbkrtest does not take weights into account
  c(described(f), list(tables = unlist(lapply(methods, function(m) lapply(1:3, function(t) table_of(f, m, t))), FALSE)))
})

# ---- contrasts ----

L <- rbind(c(0, 1, -1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0, 0), c(0, 0, 0, 1, -2, 0, 0))
rhs <- c(-1, 2, 0)
f <- fit("y ~ a*b + x + (x | g)")
kr <- pbkrtest::KRmodcomp(f$model, L, betaH = drop(MASS::ginv(L) %*% rhs))$test
sat <- contestMD(f$model, L, rhs = rhs)
one <- contest1D(f$model, L[3, ], rhs = 0.25)
one_kr <- contest1D(f$model, L[3, ], rhs = 0, ddf = "Kenward-Roger")
contrasts <- c(described(f), list(L = L, rhs = rhs,
  satterthwaite = list(num_df = sat[["NumDF"]], den_df = sat[["DenDF"]], F = sat[["F value"]], p = sat[["Pr(>F)"]]),
  kenward_roger = list(num_df = kr["Ftest", "ndf"], den_df = kr["Ftest", "ddf"], F = kr["Ftest", "stat"],
                       p = kr["Ftest", "p.value"], scale = kr["Ftest", "F.scaling"]),
  third_row_at_0.25 = list(estimate = one$Estimate - 0.25, se = one[["Std. Error"]], df = one$df,
                           t = one[["t value"]], p = one[["Pr(>|t|)"]]),
  third_row_kenward_roger = list(se = one_kr[["Std. Error"]], df = one_kr$df, t = one_kr[["t value"]])))

# ---- marginal means ----

numbers <- function(x) I(unname(x))
means <- function(f, factors, ddf, by = NULL) {
  grid <- emmeans(f$model, factors, by = by, lmer.df = ddf, data = used)
  intervals <- as.data.frame(confint(grid))
  pairs <- lapply(c(tukey = "tukey", bonferroni = "bonferroni", none = "none"),
                  function(how) as.data.frame(pairs(grid, adjust = how)))
  first <- pairs$tukey
  c(described(f), list(
    factors = I(factors), by = if (is.null(by)) list() else I(by), ddf = ddf, at = as.list(colMeans(used[c("x", "z")], na.rm = TRUE)),
    levels = lapply(intervals[c(by, factors)], function(v) I(as.character(v))),
    means = list(mean = numbers(intervals$emmean), se = numbers(intervals$SE), df = numbers(intervals$df),
                 lower = numbers(intervals$lower.CL), upper = numbers(intervals$upper.CL)),
    pairs = list(contrast = numbers(as.character(first$contrast)),
                 by = if (is.null(by)) list() else numbers(as.character(first[[by]])),
                 estimate = numbers(first$estimate), se = numbers(first$SE), df = numbers(first$df),
                 t = numbers(first$t.ratio)),
    p = lapply(pairs, function(p) numbers(p$p.value))))
}
grids <- list(
  means(fit("y ~ a*b + x + (x | g)"), "a", "satterthwaite"), means(fit("y ~ a*b + x + (x | g)"), "a", "kenward-roger"),
  means(fit("y ~ a*b + x + (x | g)"), c("a", "b"), "satterthwaite"),
  means(fit("y ~ a*b + x + (x | g)"), "a", "satterthwaite", by = "b"),
  means(fit("y ~ a*b + x + (1 | g)", "cell"), "a", "satterthwaite"),
  means(fit("y ~ C(a, contr.sum)*x + b + log(z) + (1 | g)"), "a", "kenward-roger"),
  means(fit("y ~ poly(x, 2)*b + (1 | g)"), "b", "satterthwaite"),
  means(fit("y ~ a + bs(x, df = 5) + log(z) + I(z^2) + (1 | g)", "gaps"), "a", "satterthwaite"),
  means(fit("y ~ a*ns(z, df = 3) + scale(x) + (1 | g)"), "a", "satterthwaite"))

write(toJSON(list(anovas = anovas, contrasts = contrasts, means = grids), digits = NA, auto_unbox = TRUE, na = "null",
             pretty = FALSE), "contrasts.json")
