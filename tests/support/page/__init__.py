"""What drives the page for operators: a headless Chromium, and fabrics to show in it."""
