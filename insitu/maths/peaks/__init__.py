"""Peaks: found, fitted one by one or in batches, described without a fit."""
