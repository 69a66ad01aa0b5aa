# Writes bjsales.csv: Box & Jenkins' sales with a leading indicator (Box & Jenkins 1976, series M), as in R's datasets.
# Rscript bjsales.R
sales <- data.frame(time = seq_along(BJsales), sales = as.numeric(BJsales), lead = as.numeric(BJsales.lead))
write.csv(sales, "bjsales.csv", row.names = FALSE, quote = FALSE)
