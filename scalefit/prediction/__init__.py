"""From a fit to a number: predictions, their ensemble, cross-validation and forecasts."""
