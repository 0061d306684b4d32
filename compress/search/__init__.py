"""Which settings: a search over what a pipeline marks as searchable, begun where a scan of the layers points to."""
