/* One const entry for each command file. */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

#include "cmd/command.h"

extern const struct command command_attach;
extern const struct command command_boot_disable;
extern const struct command command_boot_enable;
extern const struct command command_boot_status;
extern const struct command command_check;
extern const struct command command_close;
extern const struct command command_create;
extern const struct command command_detach;
extern const struct command command_erase;
extern const struct command command_harden;
extern const struct command command_header_restore;
extern const struct command command_header_show;
extern const struct command command_help;
extern const struct command command_import;
extern const struct command command_init;
extern const struct command command_keystore_add_slot;
extern const struct command command_keystore_backup;
extern const struct command command_keystore_restore;
extern const struct command command_keystore_certificate;
extern const struct command command_keystore_check;
extern const struct command command_keystore_export;
extern const struct command command_keystore_forget;
extern const struct command command_keystore_import;
extern const struct command command_keystore_log;
extern const struct command command_keystore_rekey;
extern const struct command command_keystore_remove_slot;
extern const struct command command_keystore_reseal;
extern const struct command command_keystore_status;
extern const struct command command_keyslot_add;
extern const struct command command_keyslot_list;
extern const struct command command_keyslot_remove;
extern const struct command command_list;
extern const struct command command_load;
extern const struct command command_move;
extern const struct command command_open;
extern const struct command command_passphrase_show;
extern const struct command command_recover;
extern const struct command command_seal;
extern const struct command command_resize;
extern const struct command command_rotate;
extern const struct command command_show;
extern const struct command command_unload;
extern const struct command command_unseal;

#endif
