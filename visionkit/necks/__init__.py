"""Networks between a backbone's maps and a head."""
