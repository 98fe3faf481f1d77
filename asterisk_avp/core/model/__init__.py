"""The configuration as the core sees it: groups, agents, features, permissions, errors."""
