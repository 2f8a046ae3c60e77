/* A server by libmodbus: tcp PORT | rtu DEVICE. Unit 1, 100 addresses in each table; registers and inputs hold 1000 + address. */
#include <modbus/modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3) return 64;
    int rtu = !strcmp(argv[1], "rtu"), listener = -1, count, i;
    modbus_t *bus = rtu ? modbus_new_rtu(argv[2], 115200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    modbus_mapping_t *map = modbus_mapping_new(100, 100, 100, 100);
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (i = 0; i < 100; i++) {
        map->tab_registers[i] = map->tab_input_registers[i] = 1000 + i;
        map->tab_bits[i] = map->tab_input_bits[i] = i % 3 == 0;
    }
    modbus_set_slave(bus, 1);
    if (rtu ? modbus_connect(bus) : (listener = modbus_tcp_listen(bus, 1)) < 0) return 69;
    puts("ready");
    fflush(stdout);
    if (!rtu) modbus_tcp_accept(bus, &listener);
    while ((count = modbus_receive(bus, query)) >= 0)
        if (count > 0) modbus_reply(bus, query, count, map);
    return 0;
}
