"""What the owner declares: bandeau.toml as frozen models, checked whole; not what a visitor chose."""
