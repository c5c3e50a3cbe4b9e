"""Decisions and published policies on durable storage; what they mean is decided elsewhere."""
