# lme4 with its defaults: lmer, and for text models the printed summary.

suppressPackageStartupMessages(library(lme4))
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])), "serve.R"))

# The call as a user would write it, so that weights and offset are columns of the data.
lmer_call <- function(model, reml, ...) {
  named <- lapply(Filter(Negate(is.null), list(weights = model$weights, offset = model$offset)), as.name)
  as.call(c(list(quote(lmer), as.formula(model$formula), data = quote(data), REML = reml, ...), named))
}

fit <- function(model, data, reml) {
  fitted <- eval(lmer_call(model, reml))
  if (model$text) capture.output(print(summary(fitted)))
  fitted
}

describe <- function(fit) list(criterion = -2 * as.numeric(logLik(fit)), evaluations = fit@optinfo$feval)

evaluator <- function(model, data, fit) {
  deviance <- eval(lmer_call(model, isREML(fit), devFunOnly = TRUE))
  theta <- getME(fit, "theta")
  function() deviance(theta * (1 + 1e-6))
}

serve("lme4", fit, describe, evaluator)
