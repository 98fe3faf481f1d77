"""The world as configured: groups, agents, features, permissions, errors."""
