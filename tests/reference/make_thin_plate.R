# Surfaces of mgcv: Rscript tests/reference/make_thin_plate.R > tests/reference/thin_plate.json
# The coordinates are in units of their spread, as mme takes them before it truncates the basis.
suppressMessages({library(mgcv); library(jsonlite)})
i <- 1:120
x <- (i * 0.6180339887) %% 1
y <- (i * 0.7548776662) %% 1
s <- sqrt(mean((x - mean(x))^2 + (y - mean(y))^2))
d <- data.frame(x = x / s, y = y / s, z = sin(5 * x) * cos(4 * y) + x + 0.3 * sin(1000 * i))
one <- function(k) {
  g <- gam(z ~ s(x, y, k = k), method = "REML", data = d,
           control = gam.control(epsilon = 1e-12, newton = list(conv.tol = 1e-10)))
  new <- data.frame(x = c(0.5, 1.2) / s, y = c(0.5, -0.1) / s)
  list(k = k, edf = sum(g$edf), sigma2 = g$sig2, fitted = as.numeric(fitted(g)[1:5]), new = as.numeric(predict(g, new)))
}
cat(toJSON(list(mgcv = as.character(packageVersion("mgcv")), R = as.character(getRversion()),
                fits = lapply(c(30, 60), one)), auto_unbox = TRUE, digits = 10, pretty = TRUE), "\n")
