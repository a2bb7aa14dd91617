"""What runs an app: `task` decides, `runner` and `crew` act, `engine` holds them together."""
