"""The demo: small physical models of real machines behind the real protocols, and a view of what the hub makes of them."""
