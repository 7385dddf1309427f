//! Metrics of predictions: each a plain function, checked against scikit-learn's figures.
