# Profile intervals of lme4, of a few of the cases: its Laplace criterion is theirs, its optima and limits are good to
# about 1e-3 of a standard error.   Rscript make_profiles.R      writes profiles.json
suppressMessages({library(jsonlite); library(lme4)})
read_case <- function(name) {
  case <- fromJSON(file.path("cases", paste0(name, ".json")), simplifyVector = TRUE)
  meta <- fromJSON(file.path("data", paste0(case$data, ".meta.json")))
  data <- read.csv(gzfile(file.path("data", paste0(case$data, ".csv.gz"))), na.strings = "NA",
                   colClasses = sapply(meta$dtype, function(kind) if (kind == "str") "character" else "numeric"),
                   check.names = FALSE)
  for (column in names(data)) if (is.character(data[[column]]))
    data[[column]] <- factor(data[[column]], levels = sort(unique(na.omit(data[[column]])), method = "radix"))
  list(case = case, data = data)
}
of_case <- function(name) {
  read <- read_case(name)
  control <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-10, optCtrl = list(rhoend = 1e-8))
  fit <- glmer(formula(read$case$formula), read$data, family = read$case$family, control = control)
  found <- suppressWarnings(suppressMessages(confint(fit, method = "profile", oldNames = FALSE, quiet = TRUE)))
  list(names = rownames(found), lower = unname(found[, 1]), upper = unname(found[, 2]))
}
names <- c("cbpp_logit", "singular_logit", "tiny_pois")
values <- sapply(names, of_case, simplify = FALSE)
write_json(values, "profiles.json", digits = NA, auto_unbox = TRUE, na = "null")
