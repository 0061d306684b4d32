"""Configuration: a pipeline file becomes a checked `Pipeline`, without loading torch.

In comes YAML, with overrides (`--set`) or, for a search, ranges of options. `yaml_document` keeps the line and column
of each key; `config` checks the values; `schema_errors` names the place of a mistake and what to write instead.
`recipes` chooses a pipeline for who writes none, and `json_schema` describes them all to editors.
"""
