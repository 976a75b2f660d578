"""Connectivity diagnostics for SMTP with OAuth2; the words of the house stand in ``model``."""

__version__ = "0.1.0"
