# The protocol of serve.py for R: a request a line on stdin, a reply a line on stdout that starts with "@@".

suppressPackageStartupMessages(library(jsonlite))

reply <- function(fields) {
  cat("@@", toJSON(fields, auto_unbox = TRUE, digits = NA, null = "null"), "\n", sep = "")
  flush(stdout())
}

read_column <- function(folder, name, is_factor, text, n) {
  path <- file.path(folder, paste0(name, ".bin"))
  if (!is_factor) return(readBin(path, "double", n, endian = "little"))
  codes <- readBin(path, "integer", n, size = 4, endian = "little")
  codes[codes == 0] <- NA
  levels <- readLines(file.path(folder, paste0(name, ".levels")))
  if (text) levels[codes] else structure(codes, levels = levels, class = "factor")
}

read_table <- function(folder, model) {
  columns <- Map(function(name, is_factor) read_column(folder, name, is_factor, model$text, model$rows),
                 model$columns$name, model$columns$factor)
  as.data.frame(columns, stringsAsFactors = FALSE, check.names = FALSE)
}

# Bytes of a line of /proc/self/status; NULL where there is none.
status <- function(field) {
  if (!file.exists("/proc/self/status")) return(NULL)
  line <- grep(field, readLines("/proc/self/status"), value = TRUE)
  1024 * as.numeric(gsub("[^0-9]", "", line))
}

# Start the count of peak memory anew; bytes held now.
forget_peak <- function() {
  if (!file.exists("/proc/self/clear_refs")) return(NULL)
  cat("5", file = "/proc/self/clear_refs")
  status("VmRSS")
}

seconds_of <- function(work) {
  began <- Sys.time()
  work()
  as.numeric(Sys.time()) - as.numeric(began)
}

# fit(model, data, reml) is what is timed; describe(fit) tells its criterion and evaluations;
# evaluator(model, data, fit) makes a function that evaluates the criterion at the estimates.
serve <- function(package, fit, describe, evaluator = NULL) {
  folder <- commandArgs(trailingOnly = TRUE)[1]
  model <- fromJSON(file.path(folder, "model.json"))
  data <- read_table(folder, model)
  versions <- list(as.character(packageVersion(package)), paste(R.version$major, R.version$minor, sep = "."))
  reply(list(versions = setNames(versions, c(package, "R")), threads = I(paste0(basename(extSoftVersion()[["BLAS"]]), ": ", Sys.getenv("OPENBLAS_NUM_THREADS")))))
  input <- file("stdin", "r")
  result <- NULL
  while (length(line <- readLines(input, 1)) == 1) {
    request <- fromJSON(line)
    if (request$do == "evaluate") {
      once <- if (!is.null(evaluator)) evaluator(model, data, result)
      reply(list(seconds = if (!is.null(once)) I(vapply(seq_len(request$times), function(i) seconds_of(once), 0))))
    } else {
      result <- NULL
      gc()
      held <- forget_peak()
      seconds <- vapply(seq_len(request$times), function(i)
        seconds_of(function() result <<- fit(model, data, request$method == "REML")), 0)
      reply(c(list(seconds = I(seconds), held = held, peak = status("VmHWM")), describe(result)))
    }
  }
}
