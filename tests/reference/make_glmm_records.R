# What R says of records of generalised models: predictions with standard errors by glmmTMB; residuals by lme4. Run in the folder of glmm/: Rscript ../make_glmm_records.R > records.json
suppressMessages({library(glmmTMB); library(lme4); library(jsonlite)})
cases <- list(
  list(name = "cbpp_logit", data = "cbpp", formula = cbind(incidence, size - incidence) ~ period + (1 | herd),
       family = binomial(), groups = "herd"),
  list(name = "cross_logit", data = "sim_cross", formula = y ~ x + z + (x | a) + (1 | b), family = binomial(),
       groups = c("a", "b")),
  list(name = "cross_pois", data = "sim_cross", formula = k ~ x + z + (x | a) + (1 | b), family = poisson(),
       groups = c("a", "b")),
  list(name = "contra_slope", data = "Contraception",
       formula = use ~ age + I(age^2) + urban + ch + (urban | district), family = binomial(), groups = "district"),
  list(name = "quine_nb2", data = "quine", formula = Days ~ Sex + Eth + (1 | cell), family = nbinom2(),
       groups = "cell"))
read <- function(name) {
  path <- paste0("data/", name, ".csv.gz")
  types <- fromJSON(paste0("data/", name, ".meta.json"))$dtype
  data <- read.csv(path, colClasses = ifelse(unlist(types) == "str", "factor", "numeric"), check.names = FALSE)
  data[names(types)]
}
rows <- function(n) unique(round(seq(1, n, length.out = 12)))
of_tmb <- function(case, data) {
  fit <- glmmTMB(case$formula, data, case$family, control = glmmTMBControl(optCtrl = list(rel.tol = 1e-14, eval.max = 2000, iter.max = 2000)))
  at <- data[rows(nrow(data)), , drop = FALSE]
  new <- at
  for (g in case$groups) levels(new[[g]]) <- c(levels(new[[g]]), "of no level")
  new[[case$groups[1]]][] <- "of no level"
  one <- function(...) lapply(predict(fit, ..., se.fit = TRUE), unname)
  list(link = one(at, type = "link"), response = one(at, type = "response"),
       population = one(at, type = "link", re.form = NA), new = one(new, type = "link", allow.new.levels = TRUE))
}
of_lme4 <- function(case, data) {
  if (case$family$family == "nbinom2") return(NULL)
  fit <- glmer(case$formula, data, case$family, control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12,
               optCtrl = list(rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE))
  at <- rows(nrow(data))
  list(pearson = unname(residuals(fit, "pearson")[at]), deviance = unname(residuals(fit, "deviance")[at]),
       working = unname(residuals(fit, "working")[at]), response = unname(residuals(fit, "response")[at]))
}
found <- list()
for (case in cases) {
  data <- read(case$data)
  found[[case$name]] <- list(rows = rows(nrow(data)) - 1, glmmTMB = of_tmb(case, data), lme4 = of_lme4(case, data))
}
found$versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                       glmmTMB = as.character(packageVersion("glmmTMB")))
cat(toJSON(found, digits = 12, auto_unbox = TRUE), "\n")
