"""Everything a person looks at, drawn from data files and theory alone. matplotlib; never torch."""
