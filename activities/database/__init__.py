"""PostgreSQL: the pool, the migrations, generations and their events."""
