"""From Python types to bytes: for the wire, and in an order that stores can scan."""
