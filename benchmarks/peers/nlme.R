# nlme with its defaults: lme, and for text models the printed summary.

suppressPackageStartupMessages(library(nlme))
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])), "serve.R"))

# One bar: ~ x | g, or with independent coefficients list(g = pdDiag(~ x)).
random <- function(bars) {
  if (!bars$independent) return(as.formula(paste("~", bars$left, "|", bars$group)))
  setNames(list(pdDiag(as.formula(paste("~", bars$left)))), bars$group)
}

fit <- function(model, data, reml) {
  call <- list(quote(lme), as.formula(model$fixed), data = quote(data), random = random(model$bars),
               method = if (reml) "REML" else "ML")
  fitted <- eval(as.call(call))
  if (model$text) capture.output(print(summary(fitted)))
  fitted
}

describe <- function(fit) list(criterion = -2 * as.numeric(logLik(fit)), evaluations = NULL)

serve("nlme", fit, describe)
