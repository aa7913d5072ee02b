"""The tables and figures of the two papers, one TOML file each; `pipelines.papers.experiments` reads them."""
