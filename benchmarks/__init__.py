"""What is measured, on which machine and commit; each module prints a Markdown table, kept under results/."""
