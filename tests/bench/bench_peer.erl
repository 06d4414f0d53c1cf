%% Sends fresh maps of six keys from one process to another, as the source of inprocess.rs does.
%%
%% Reads a number of messages per line, and answers with the microseconds that they took.
-module(bench_peer).
-export([start/0]).

start() -> spawn(fun() -> serve(open_port({fd, 0, 1}, [{line, 80}])) end).

serve(Port) ->
    receive
        {Port, {data, {eol, Line}}} ->
            Messages = list_to_integer(Line),
            {Time, Messages} = timer:tc(fun() -> run(Messages) end),
            port_command(Port, [integer_to_list(Time), $\n]),
            serve(Port)
    end.

run(Messages) ->
    Self = self(),
    Sink = spawn(fun() -> sink(Self, Messages, 0) end),
    spawn(fun() -> source(Sink, 0, Messages) end),
    receive {done, Got} -> Got end.

source(_Sink, Messages, Messages) -> ok;
source(Sink, N, Messages) ->
    Sink ! fresh(N),
    source(Sink, N + 1, Messages).

fresh(N) ->
    #{ct => N, detail => #{side => place(3 - N rem 4), step => N rem 7}, load => N * 0.25, outstr => <<"howdy">>,
      place => place(N rem 4), total => 1000000 + N}.

place(At) -> element(At + 1, {<<"north shelf">>, <<"south shelf">>, <<"gate">>, <<"the yard behind">>}).

sink(Owner, Messages, Messages) -> Owner ! {done, Messages};
sink(Owner, Messages, Got) ->
    receive
        #{ct := Count} when is_integer(Count) -> sink(Owner, Messages, Got + 1)
    end.
