"""Feedback: what is proposed, whether it is allowed, what is sent, and the account."""
