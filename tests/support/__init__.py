"""What the tests share: hosts with a real Open vSwitch, and the real controller process on them."""
