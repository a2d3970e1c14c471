"""Darkroom beside other systems that serve models, each as its documentation recommends."""
