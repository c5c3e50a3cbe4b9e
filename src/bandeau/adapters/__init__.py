"""Between a server's protocol and `site`: they translate and decide nothing."""
