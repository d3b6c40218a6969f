"""What git hosts announce: bytes and headers in, normalised events out; no clock, no storage."""
