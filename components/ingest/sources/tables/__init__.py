"""Tables of addresses and labels: CSV, TSV and Parquet files, and folders of them."""
