# nlme's intervals of variance parameters (Wald, on the unconstrained scale, mapped back): intervals.json.
# Rscript make_intervals.R > intervals.json
suppressMessages({library(nlme); library(jsonlite)})
growth <- as.data.frame(Orthodont)
growth$visit <- (growth$age - 8) / 2
growth$Subject <- factor(as.character(growth$Subject))
growth$Sex <- factor(as.character(growth$Sex), levels = c("Female", "Male"))
growth <- growth[order(growth$Sex), ]  # varIdent: the first stratum in the data is the reference
fits <- list(
  ar1 = list(correlation = corAR1(form = ~ visit | Subject)),
  exponential = list(correlation = corExp(form = ~ age | Subject)),
  compound = list(correlation = corCompSymm(form = ~ 1 | Subject)),
  heterogeneous = list(weights = varIdent(form = ~ 1 | Sex)),
  power = list(weights = varPower(form = ~ age)),
  unstructured = list(correlation = corSymm(form = ~ 1 | Subject), weights = varIdent(form = ~ 1 | age)),
  product = list(correlation = corAR1(form = ~ visit | Subject), weights = varIdent(form = ~ 1 | Sex)))
rows <- function(m) {
  found <- intervals(m, which = "var-cov")
  table <- do.call(rbind, lapply(found[intersect(c("corStruct", "varStruct"), names(found))], unclass))
  list(lower = table[, "lower"], estimate = table[, "est."], upper = table[, "upper"])
}
out <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")))
for (method in c("ML", "REML")) {
  for (name in names(fits)) {
    m <- do.call(gls, c(list(distance ~ age, data = growth, method = method,
                             control = glsControl(tolerance = 1e-10, msTol = 1e-12, msMaxIter = 500)), fits[[name]]))
    out[[paste(name, method)]] <- rows(m)
  }
  m <- lme(follicles ~ sin(2 * pi * Time) + cos(2 * pi * Time), data = as.data.frame(Ovary), random = ~ 1 | Mare,
           correlation = corAR1(form = ~ 1 | Mare), method = method)
  out[[paste("ovary", method)]] <- rows(m)
}
cat(toJSON(out, digits = 10, pretty = TRUE), "\n")
