"""RCML: documents, what they ask for, and what a call does next. Sans-I/O."""
