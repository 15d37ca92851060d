"""``rgp-classify``: classify folders, tar shards and Parquet files of any size, resumably, as the service would."""
