"""Tasks with verifiable rewards; their names are in `registry`, which processes that judge answers do not need."""
