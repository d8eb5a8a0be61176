"""Everything that fmbseg draws: colours, maps, masks, legends, sheets and page templates."""
