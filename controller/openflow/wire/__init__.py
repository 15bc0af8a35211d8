"""OpenFlow 1.3 as bytes: messages framed, checked, encoded and decoded."""
