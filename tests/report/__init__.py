"""Report pages in a real browser: what a reader sees, by mouse and by keyboard."""
