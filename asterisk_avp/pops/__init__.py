"""Screen pops: read from channels, published to panels and the webhook."""
