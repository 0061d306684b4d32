"""The figures of docs/theory.md, drawn from the trained weights of SqueezeNet v1.1 that come with the package."""
