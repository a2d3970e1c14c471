-- Drop images that are kept of failed computations.
-- ARGV members of their set…  → how many
-- Safe twice: they are gone.
allow_writes()
drop_failed(ARGV)
return #ARGV
