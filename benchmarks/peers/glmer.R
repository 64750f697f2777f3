# glmer with its defaults at one point, or its fast fit (nAGQ = 0).

suppressPackageStartupMessages(library(lme4))
source(file.path(dirname(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1])), "serve.R"))

cpu <- NA

fit <- function(model, data, reml) {
  began <- proc.time()
  fitted <- suppressMessages(suppressWarnings(glmer(as.formula(model$formula), data = data, family = model$family,
                                                     nAGQ = model$n_agq)))
  cpu <<- sum((proc.time() - began)[1:2])
  fitted
}

describe <- function(fit) list(criterion = -2 * as.numeric(logLik(fit)), cpu = cpu, evaluations = fit@optinfo$feval)

serve("lme4", fit, describe)
