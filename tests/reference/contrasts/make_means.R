# Marginal means beside covariates of two values, integers, booleans and offsets, by emmeans.
#
#   Rscript make_means.R          makes means.json again, in the working directory
#
# Made with R 4.2.2, lme4 1.1-31, lmerTest 3.1-3, emmeans 1.8.4.

suppressPackageStartupMessages({ library(lmerTest); library(emmeans); library(jsonlite) })
emm_options(msg.interaction = FALSE, msg.nesting = FALSE)

set.seed(21)
n <- 72
d <- data.frame(g = rep(1:9, 8), f = sample(c("p", "q", "r"), n, TRUE, prob = c(.5, .3, .2)),
                treated = rbinom(n, 1, .3), dose = sample(c(2L, 10L), n, TRUE), age = sample(20:60, n, TRUE),
                step = sample(1:4, n, TRUE), flag = runif(n) < .4, x = round(rnorm(n, 3), 2), time = sample(1:9, n, TRUE))
d$y <- round(rnorm(9)[d$g] + rnorm(n) + d$treated + .03 * d$age + as.integer(factor(d$f)), 3)

of <- function(formula, specs, by = NULL, at = list(), offset = NULL) {
  used <<- d
  control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
  args <- list(as.formula(paste(formula, "+ (1 | g)")), data = quote(used), control = control)
  if (!is.null(offset)) args$offset <- used[[offset]]
  m <- do.call(lmer, args)
  if (getME(m, "theta") < 1e-3) stop("singular")
  grid <- suppressMessages(emmeans(m, specs, by = by, at = at, lmer.df = "satterthwaite"))
  t <- as.data.frame(grid)
  p <- as.data.frame(pairs(grid, adjust = "none"))
  names <- c(by, specs)
  list(formula = formula, offset = if (is.null(offset)) NA else offset, specs = I(specs), by = I(as.character(by)), at = if (length(at)) lapply(at, I) else setNames(list(), character(0)),
       theta = unname(getME(m, "theta")), levels = lapply(t[names], function(v) I(if (is.factor(v)) as.character(v) else v)),
       mean = I(t$emmean), se = I(t$SE), df = I(t$df), pairs = I(as.character(p$contrast)), p = I(p$p.value))
}

out <- list(
  of("y ~ f*treated + age", "f"), of("y ~ f*treated + age", "treated"), of("y ~ f*treated + age", c("treated", "f")),
  of("y ~ f + log(dose) + x", "f"), of("y ~ f*log(dose) + x", "f", by = "dose"),
  of("y ~ f*treated + x", "f", at = list(treated = .5)), of("y ~ f*age + x", "f", by = "age", at = list(age = c(30, 50))),
  of("y ~ f*age + treated", "f", at = list(age = 44)), of("y ~ f + I(age^2) + age", "f"),
  of("y ~ f + I(flag*x) + flag", "f"), of("y ~ f*flag + x", "flag"), of("y ~ f + factor(step) + step", "f"),
  of("y ~ f + x + offset(log(time))", "f"), of("y ~ f + x + offset(treated)", "f"),
  of("y ~ f + x", "f", offset = "age"),
  of("y ~ f*treated*log(dose)", "f", by = "treated")
)
writeLines(toJSON(list(data = d, means = out), digits = NA, auto_unbox = TRUE, dataframe = "columns"), "means.json")
