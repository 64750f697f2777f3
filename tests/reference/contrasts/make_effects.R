# Contrasts, adjustments, slopes, weights and scales of marginal means, by emmeans.
#
#   Rscript make_effects.R          makes effects.json again, in the working directory
#
# Made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, emmeans 1.8.4-1.

suppressPackageStartupMessages({ library(lmerTest); library(emmeans); library(jsonlite) })
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, lmer.df = "satterthwaite")

set.seed(7)
n <- 120
d <- data.frame(g = rep(1:12, 10), f = sample(c("p", "q", "r", "s"), n, TRUE, prob = c(.4, .3, .2, .1)),
                h = sample(c("u", "v", "w"), n, TRUE, prob = c(.5, .3, .2)), x = round(runif(n, 1, 9), 2))
d$y <- round(20 + rnorm(12)[d$g] + rnorm(n) + .3 * d$x + as.integer(factor(d$f)) + (d$h == "v") * d$x * .2, 3)
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
fit <- function(formula) do.call(lmer, list(formula, quote(d), control = quote(control)))  # its terms in the call
main <- fit(y ~ f + h + x + (1 | g))
inter <- fit(y ~ f * h + x + (1 | g))
slope <- fit(y ~ f * x + h + (1 | g))
curve <- fit(y ~ f + poly(x, 2) + (1 | g))
logged <- fit(log(y) ~ f + x + (1 | g))
rooted <- fit(sqrt(y) ~ f + x + (1 | g))
cols <- function(t) { t <- as.data.frame(t); n <- names(t)
  pick <- function(...) { k <- intersect(c(...), n); if (length(k)) I(unname(t[[k[1]]])) else NULL }
  r <- list(estimate = pick("estimate", "emmean", "response", "ratio", "x.trend", "effect.size", "odds.ratio"), se = pick("SE"), df = pick("df"),
       lower = pick("lower.CL", "asymp.LCL"), upper = pick("upper.CL"), t = pick("t.ratio"), p = pick("p.value"))
  if (!is.null(t$contrast)) r$names <- I(as.character(t$contrast)); r[!sapply(r, is.null)] }
ci <- function(x, ...) cols(summary(x, infer = c(TRUE, TRUE), ...))
out <- list(data = lapply(d, I))
out$contrasts <- list()
for (method in c("pairwise", "trt.vs.ctrl", "consec", "poly", "eff"))
  for (adjust in c("tukey", "holm", "sidak", "bonferroni", "fdr", "scheffe", "mvt", "none")) {
    if (adjust == "tukey" && method != "pairwise") next
    set.seed(1)
    out$contrasts <- c(out$contrasts, list(c(list(method = method, adjust = adjust), ci(contrast(emmeans(main, "f"), method), adjust = adjust))))
  }
by <- list()
for (adjust in c("tukey", "holm", "scheffe")) by <- c(by, list(c(list(adjust = adjust), ci(pairs(emmeans(inter, "f", by = "h")), adjust = adjust))))
out$by <- by
out$interaction <- ci(contrast(emmeans(inter, c("f", "h")), interaction = c("pairwise", "consec")), adjust = "none")
out$weights <- lapply(c("equal", "proportional", "cells"), function(w) c(list(weights = w), ci(emmeans(inter, "f", weights = w))))
out$trends <- ci(emtrends(slope, "f", var = "x"))
out$trend_pairs <- ci(pairs(emtrends(slope, "f", var = "x")), adjust = "tukey")
out$curve <- lapply(c(2, 5, 8), function(v) c(list(at = v), ci(emtrends(curve, ~ 1, var = "x", at = list(x = v), delta.var = 1e-3))))
out$response <- list(log = ci(emmeans(logged, "f"), type = "response"), log_pairs = ci(pairs(emmeans(logged, "f")), type = "response", adjust = "tukey"),
                     sqrt = ci(emmeans(rooted, "f"), type = "response"), sqrt_pairs = ci(pairs(regrid(emmeans(rooted, "f"))), adjust = "none"),
                     sqrt_bias = ci(emmeans(rooted, "f"), type = "response", bias.adjust = TRUE, sigma = sigma(rooted)))
out$effect <- ci(eff_size(emmeans(main, "f"), sigma = sigma(main), edf = 114))
out$joint <- cols(joint_tests(inter, by = "h"))
j <- as.data.frame(joint_tests(inter, by = "h")); out$joint <- list(h = I(as.character(j$h)), term = I(as.character(j[["model term"]])), df1 = I(j$df1), df2 = I(j$df2), F = I(j$F.ratio), p = I(j$p.value))
out$theta <- lapply(list(main = main, inter = inter, slope = slope, curve = curve, logged = logged, rooted = rooted), function(m) unname(getME(m, "theta")))
write_json(out, "effects.json", digits = 10, auto_unbox = TRUE, na = "null", null = "null")
