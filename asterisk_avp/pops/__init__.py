"""Screen pops on their way: read from channels, published to panels and the webhook."""
