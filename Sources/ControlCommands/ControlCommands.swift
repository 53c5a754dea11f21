// ControlCommands
